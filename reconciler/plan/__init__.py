"""The plan: what is seen (`survey`), what follows from it (`decide`), and the plan as a value (`plan`)."""
