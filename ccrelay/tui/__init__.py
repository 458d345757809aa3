"""`ccrelay top`: a dashboard in the terminal. Textual runs it; what it shows is made without it."""
