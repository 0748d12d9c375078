from jira_desk.service import service
from okgames import process


def main() -> None:
    """Run the jira-desk as a process of its own."""
    process.main(service)


if __name__ == "__main__":
    main()
