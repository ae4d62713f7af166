"""What Spark jobs use, as they use it: typed samples, and pure functions over them."""
