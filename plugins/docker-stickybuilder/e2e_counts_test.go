package main

import (
	"os"
	"strconv"
	"testing"
)

// counted is how often a test that kills or damages something does so: a few times, or
// as often as the variable says.
func counted(t *testing.T, few int, variable string) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number of times", variable, text)
	}
	return n
}
