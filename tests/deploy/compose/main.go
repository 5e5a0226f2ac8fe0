// Reads compose.yaml as Compose itself does (its schema, its variables, its rules), and writes what it means as JSON.
//
//	compose FILE [VARIABLE=VALUE…]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: compose FILE [VARIABLE=VALUE…]")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reads a file with every profile on; variables that are not given have their defaults, whatever the environment says.
func run(args []string) error {
	options, err := cli.NewProjectOptions(args[:1], cli.WithProfiles([]string{"*"}), cli.WithEnv(args[1:]))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(project)
}
