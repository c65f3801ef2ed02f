//go:build race

package temporal

func init() { raceEnabled = true }
