package proof

import "flag"

var (
	cuts  = flag.Int("proof.cuts", 10, "how often the power is cut")
	kills = flag.Int("proof.kills", 20, "how often the writer is killed at a random moment")
	turns = flag.Int("proof.turns", 1, "how often it dies at each crash point")
)
