"""What exchanges cost: the price table and its arithmetic. The book itself comes later."""
