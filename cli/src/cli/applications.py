from cli.failures import WrongInput


def application_key(named: str | None) -> str:
    """
    Return the key of the application that a person named by key or by name, or of the only one that there is.

    What the configuration does not have is taken for a key, because the API may run elsewhere, with a file of its own.
    Raise WrongInput where it is not clear which one is meant.
    """
    # Importing the catalogue takes half a second, which --help must not wait for.
    from okgames.config import ConfigError, load_config
    from okgames.settings import SettingsError, load_settings

    try:
        apps = load_config(load_settings().config).apps
    except (SettingsError, ConfigError) as error:
        if named is None:
            raise WrongInput(f"name the application with --app: {error}") from error
        return named
    chosen = [app for app in apps if app.application_key == named] or [app for app in apps if named in {None, app.name}]
    if len(chosen) > 1:
        keys = ", ".join(f"{app.application_key} ({app.name})" for app in chosen)
        raise WrongInput(f"name one application with --app: {keys}")
    return chosen[0].application_key if chosen else str(named)
