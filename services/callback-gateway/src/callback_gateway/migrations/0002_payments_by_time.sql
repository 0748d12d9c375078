-- What a month's books are read by. Trials and cancellations move no money, so they are left out.
create index callbacks_payments on callbacks (application_key, transaction_time, id)
    where event_type in ('PaymentReceived', 'SubscriptionPaid');
