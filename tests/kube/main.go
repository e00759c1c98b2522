// Command nave-kube is a whole Kubernetes control plane in one binary, for
// tests: the upstream programs as subcommands, and `run`, which starts one
// cluster out of them.
//
// One binary because linking is the dear part: five programs made of the same
// packages would be five links and five times 190 MB.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

func main() {
	commands := components()
	commands["run"] = run

	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		names := make([]string, 0, len(commands))
		for name := range commands {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "usage: nave-kube COMMAND [flags], where COMMAND is one of: %s\n", strings.Join(names, ", "))
		os.Exit(2)
	}
	name := os.Args[1]
	// The upstream programs read os.Args themselves and expect to be the first.
	os.Args = append([]string{name}, os.Args[2:]...)
	os.Exit(commands[name]())
}
