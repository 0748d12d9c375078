from notifier.service import service
from okgames import process


def main() -> None:
    """Run the notifier as a process of its own."""
    process.main(service)


if __name__ == "__main__":
    main()
