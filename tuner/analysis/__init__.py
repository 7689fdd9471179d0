"""What results mean: importance, Pareto front, leaderboard, winner, health, symptoms."""
