"""The migrations, oldest first. One that was released never changes: what follows goes into the next."""
