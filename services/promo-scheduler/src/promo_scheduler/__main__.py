from okgames import process
from promo_scheduler.service import service


def main() -> None:
    """Run the promo-scheduler as a process of its own."""
    process.main(service)


if __name__ == "__main__":
    main()
