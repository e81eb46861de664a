"""What a table would cost before anything of it runs."""
