// SPDX-License-Identifier: MIT

// What Go's pprof.Do costs: the peer of bench_labels. Prints one line of JSON, nanoseconds above a
// bare call, one entry per repetition.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"time"
)

const rounds = 200000

var sink int

//go:noinline
func work(context.Context) { sink++ }

func nsOf(run func()) float64 {
	start := time.Now()
	for i := 0; i < rounds; i++ {
		run()
	}
	return float64(time.Since(start).Nanoseconds()) / rounds
}

func main() {
	repeat := 20
	if len(os.Args) > 1 {
		if number, err := strconv.Atoi(os.Args[1]); err == nil && number > 0 {
			repeat = number
		}
	}
	ctx := context.Background()
	ready := pprof.Labels("handler", "/checkout")
	results := map[string][]float64{}
	for i := 0; i < repeat; i++ {
		bare := nsOf(func() { work(ctx) })
		results["literals_ns"] = append(results["literals_ns"], nsOf(func() {
			pprof.Do(ctx, pprof.Labels("handler", "/checkout", "tenant", "acme"), work)
		})-bare)
		results["made_ready_ns"] = append(results["made_ready_ns"], nsOf(func() {
			pprof.Do(ctx, ready, work)
		})-bare)
	}
	line, _ := json.Marshal(results)
	fmt.Println(string(line))
}
