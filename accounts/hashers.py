from django.contrib.auth import hashers


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Argon2id with the parameters of the OWASP Password Storage Cheat Sheet (19 MiB, t=2, p=1)."""

    time_cost = 2
    memory_cost = 19456
    parallelism = 1
