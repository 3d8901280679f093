//go:build race

package protomodel

const raceEnabled = true
