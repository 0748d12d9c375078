create table callbacks (
    id uuid primary key,
    application_key text not null,
    uid text not null,
    product text not null,
    event_type text not null,
    content text not null,
    query text not null,
    caller text not null,
    transaction_time timestamptz not null,
    received_at timestamptz not null,
    ack_uncertain boolean not null default false
);

create index callbacks_ack_uncertain on callbacks (received_at) where ack_uncertain;

-- Rings: whoever floods us with wrong callbacks overwrites old rows and fills no disk. Slots are handed out by
-- sequences, so that several gateways share a ring without waiting for each other.
create sequence refusal_slots as int minvalue 0 maxvalue 999 cycle;

create table refusals (
    slot int primary key,
    refused_at timestamptz not null,
    code int not null,
    reason text not null,
    caller text not null,
    query text not null
);

create sequence conflict_slots as int minvalue 0 maxvalue 999 cycle;

create table conflicts (
    slot int primary key,
    refused_at timestamptz not null,
    callback_id uuid not null,
    stored_content text not null,
    refused_content text not null,
    caller text not null,
    query text not null
);
