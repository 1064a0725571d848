// SPDX-License-Identifier: MIT

// The CPU limit as Go's runtime reads it for GOMAXPROCS, before affinity and rounding hide it:
// {"cpu": 1.5}, "none" or an error. It reaches into the runtime, so it fits the Go that has the same
// functions, with -ldflags=-checklinkname=0. Built by test_cgroup_differential.py.
package main

import (
	"encoding/json"
	"os"
	_ "unsafe" // for go:linkname
)

const scratchSize = 4096 + 4*4*4096

type cpuFiles struct {
	version           int
	quotaFD, periodFD int
}

//go:linkname openCPU internal/runtime/cgroup.OpenCPU
func openCPU(scratch []byte) (cpuFiles, error)

//go:linkname readCPULimit internal/runtime/cgroup.ReadCPULimit
func readCPULimit(files cpuFiles) (float64, bool, error)

func main() {
	var quota float64
	var found bool
	files, err := openCPU(make([]byte, scratchSize))
	if err == nil {
		quota, found, err = readCPULimit(files)
	}
	answer := map[string]any{"cpu": quota}
	if err != nil {
		answer["cpu"] = "error: " + err.Error()
	} else if !found {
		answer["cpu"] = "none"
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}
