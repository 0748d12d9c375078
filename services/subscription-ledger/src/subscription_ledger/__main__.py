from okgames import process
from subscription_ledger.service import service


def main() -> None:
    """Run the ledger as a process of its own."""
    process.main(service)


if __name__ == "__main__":
    main()
