"""Split inference between phones and cloud GPUs: environment, profiles, runtime."""
