// The smallest program with leases. TestMemoryProgramIsSmall looks at what it links.
package main

import (
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func main() {
	if _, err := lease.NewManager(memory.New()); err != nil {
		log.Fatal(err)
	}
}
