"""The audio family: its data, its demos, and how its experiments find their methods."""
