// Command cassandra is the life of the Cassandra node on which the suite of package chaos lets Temporal keep its workflows. The suite starts
// it, so that it need not import how Meridian starts one.
//
//	cassandra up DIR      start the node of a directory where it is down, and print its address
//	cassandra remove DIR  end it and remove the directory
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"meridian/providers/local/cassandra"
)

const owner = "chaos"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cassandra:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 || !filepath.IsAbs(args[1]) {
		return errors.New("want up or remove, and an absolute directory")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch dir := args[1]; args[0] {
	case "up":
		node := spec(dir)
		if _, err := cassandra.Ensure(ctx, node); err != nil {
			return err
		}
		fmt.Println(node.Address)
		return nil
	case "remove":
		return cassandra.Destroy(ctx, dir, owner)
	}
	return fmt.Errorf("%q is neither up nor remove", args[0])
}

// spec is the one node of a cluster. Its address follows from its directory.
func spec(dir string) cassandra.Spec {
	sum := sha256.Sum256([]byte(dir))
	s := cassandra.Spec{
		Home: dir, Owner: owner, Cluster: "chaos", Datacenter: "dc1", Rack: "r1", EngineVersion: "5.0", Open: true,
		Address: fmt.Sprintf("127.%d.%d.%d", 100+sum[0]%100, sum[1], 1+sum[2]%250), Port: 9042, StoragePort: 7000,
	}
	s.Seeds = []string{s.Storage()}
	return s
}
