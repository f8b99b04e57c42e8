"""The check scripts run in other environments: pytest must not import them."""

collect_ignore_glob = ["checks/*"]
