from callback_gateway.service import service
from okgames import process


def main() -> None:
    """Run the gateway alone."""
    process.main(service)


if __name__ == "__main__":
    main()
