// SPDX-License-Identifier: MIT

// What Go finds for itself, as one JSON object: memory by automemlimit, procs as the runtime set
// itself when it started. Built by test_cgroup_differential.py.
package main

import (
	"encoding/json"
	"errors"
	"os"
	"runtime"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func main() {
	answer := map[string]any{"procs": runtime.GOMAXPROCS(0)}
	limit, err := memlimit.FromCgroup()
	switch {
	case err == nil:
		answer["memory"] = limit
	case errors.Is(err, memlimit.ErrNoLimit):
		answer["memory"] = "none"
	default:
		answer["memory"] = "error: " + err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}
