// Package cassandra is the life of one Cassandra node on this machine: make, look, change, stop, leave the cluster, destroy.
//
// A node owns one directory, its home, and nothing outside of it: the marker that says whose it is, the configuration, the data and
// the logs. It listens on one loopback address, and on one port of 127.0.0.1 for nodetool, behind a password.
//
// It must never touch a directory without our marker or with another owner's, never signal a process that was not started from the
// node's own configuration, never hand anything of its own process (environment, descriptors) to a node, and never put a database's
// password into a file, an argument or a log.
package cassandra

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"meridian/providers/local/machine"
)

// The parts of a home.
const (
	markerName = "cassandra.json"
	logName    = "server.log"
	confName   = "conf/cassandra.yaml"
	jmxFile    = "conf/jmxremote.password"
)

// Spec is what a node should be.
type Spec struct {
	// Home is the absolute directory that the node owns.
	Home string `json:"-"`
	// Owner is the mark: a node is ours when its marker holds exactly this.
	Owner string `json:"owner"`
	// Cluster is the cluster's name. It never changes, and is the same for all nodes that shall be one cluster.
	Cluster string `json:"cluster"`
	// Datacenter and Rack are where the node stands in the cluster. They never change.
	Datacenter string `json:"datacenter"`
	Rack       string `json:"rack"`
	Address    string `json:"address"`
	// Port is CQL's; StoragePort is the one that nodes of the cluster talk on.
	Port        int `json:"port"`
	StoragePort int `json:"storagePort"`
	// Seeds are the nodes ("address:storage port") by which this one finds the cluster. The first node of a cluster is its own seed.
	Seeds []string `json:"seeds"`
	// EngineVersion is a major ("5.0", the newest 5.0.x here; "5") or exact ("5.0.9").
	EngineVersion string `json:"engineVersion"`
	// Settings are put over what Meridian writes into cassandra.yaml, each value as YAML.
	Settings map[string]string `json:"settings"`
	// HeapMiB is the size of the heap; 0 is DefaultHeap.
	HeapMiB int `json:"heapMiB,omitempty"`
	// Open nodes let everybody in: no password, no permissions.
	Open bool `json:"open,omitempty"`
}

// DefaultHeap is a heap in MiB with which a small node lives: about 310 MiB of memory in all.
const DefaultHeap = 256

// State is where a node stands.
type State string

// The states of a node.
const (
	StateAbsent   State = "absent"   // no such directory, or nothing in it but our mark
	StateStopped  State = "stopped"  // data without a process
	StateStarting State = "starting" // a process that does not answer CQL yet
	StateRunning  State = "running"  // it answers CQL
	StateForeign  State = "foreign"  // the directory is another's, or another listens on the node's address
)

// Managed lists what of cassandra.yaml a node's own life decides; nobody else may set it.
var Managed = []string{
	"authenticator", "authorizer", "auto_bootstrap", "broadcast_address", "broadcast_rpc_address", "cdc_raw_directory", "cluster_name", "commitlog_directory",
	"data_file_directories", "endpoint_snitch", "hints_directory", "initial_token", "listen_address", "listen_interface", "local_system_data_file_directory",
	"native_transport_port", "partitioner", "role_manager", "rpc_address", "rpc_interface", "saved_caches_directory", "seed_provider",
	"start_native_transport", "storage_port", "ssl_storage_port",
}

// Tunable lists what of cassandra.yaml a spec may set. Each is read at the node's start: a change restarts it.
var Tunable = []string{
	"batch_size_fail_threshold", "batch_size_warn_threshold", "cas_contention_timeout", "column_index_size", "commitlog_segment_size", "commitlog_sync_period",
	"compaction_throughput", "concurrent_compactors", "concurrent_counter_writes", "concurrent_reads", "concurrent_writes", "counter_write_request_timeout",
	"file_cache_size", "hinted_handoff_enabled", "hinted_handoff_throttle", "key_cache_size", "materialized_views_enabled", "max_hint_window", "memtable_heap_space",
	"memtable_offheap_space", "native_transport_idle_timeout", "native_transport_max_concurrent_connections", "permissions_validity", "range_request_timeout",
	"read_request_timeout", "request_timeout", "roles_validity", "row_cache_size", "stream_throughput_outbound", "tombstone_failure_threshold",
	"tombstone_warn_threshold", "trickle_fsync", "truncate_request_timeout", "write_request_timeout",
}

var settingValue = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]*$`)

// ValidValue reports whether a value is one word, which YAML cannot take for anything else.
func ValidValue(value string) bool { return settingValue.MatchString(value) }

var (
	plainName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	settingName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// HostPort is the node's CQL address in one word.
func (s Spec) HostPort() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

// Storage is the node's address among its peers, as Seeds name it.
func (s Spec) Storage() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.StoragePort)) }

func (s Spec) dataDir() string { return filepath.Join(s.Home, "data") }

// Check refuses a spec that no node can be.
func (s Spec) Check() error {
	switch {
	case !filepath.IsAbs(s.Home):
		return fmt.Errorf("data directory %q: want an absolute path", s.Home)
	case strings.ContainsAny(s.Home, "\n\r\t :;,'\"\\#%*?"):
		return fmt.Errorf("data directory %q: Java and Cassandra cannot read a path with such characters", s.Home)
	case s.Owner == "":
		return fmt.Errorf("data directory %s: a node needs an owner", s.Home)
	case !plainName.MatchString(s.Cluster) || !plainName.MatchString(s.Datacenter) || !plainName.MatchString(s.Rack):
		return fmt.Errorf("cluster %q, datacenter %q, rack %q: want letters, digits, dot, hyphen and underscore", s.Cluster, s.Datacenter, s.Rack)
	case s.Port < 1 || s.Port > 65535 || s.StoragePort < 1 || s.StoragePort > 65535 || s.Port == s.StoragePort:
		return fmt.Errorf("ports %d and %d: want two from 1 to 65535", s.Port, s.StoragePort)
	case !machine.IsLoopback(s.Address):
		return fmt.Errorf("address %q: want a loopback address like 127.1.2.3: a local node has no TLS", s.Address)
	case len(s.Seeds) == 0:
		return fmt.Errorf("node %s: it needs a seed; the first node of a cluster is its own", s.Address)
	}
	return CheckSettings(s.Settings)
}

// CheckSettings refuses settings that a node does not take: those that Meridian decides, and what is no YAML scalar of one line.
func CheckSettings(settings map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch {
		case !settingName.MatchString(name):
			return fmt.Errorf("setting %q: no name of a parameter", name)
		case slices.Contains(Managed, name):
			return fmt.Errorf("setting %s is decided by Meridian", name)
		case strings.ContainsAny(settings[name], "\n\r\x00"):
			return fmt.Errorf("setting %s: a value has one line", name)
		}
	}
	return nil
}

// Satisfies reports whether the exact version is what was asked for: the same, or one of the line that was named.
func Satisfies(exact, asked string) bool {
	return asked != "" && (exact == asked || strings.HasPrefix(exact, asked+"."))
}
