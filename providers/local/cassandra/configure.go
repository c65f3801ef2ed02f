package cassandra

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"meridian/providers/local/machine"
)

const written = "# Written by Meridian; changes are overwritten.\n"

// defaults are what a small node is set to, under the spec's settings.
var defaults = map[string]string{
	"auto_snapshot":                   "false", // a dropped table's rows would stay on the disk
	"commitlog_segment_size":          "8MiB",
	"commitlog_sync":                  "periodic",
	"commitlog_sync_period":           "10000ms",
	"concurrent_reads":                "8",
	"concurrent_writes":               "8",
	"concurrent_counter_writes":       "4",
	"file_cache_size":                 "32MiB",
	"hinted_handoff_enabled":          "true",
	"networking_cache_size":           "32MiB",
	"num_tokens":                      "1",
	"memtable_allocation_type":        "heap_buffers",
	"permissions_validity":            "1000ms",
	"roles_validity":                  "1000ms",
	"credentials_validity":            "1000ms",
	"user_defined_functions_enabled":  "false",
	"materialized_views_enabled":      "false",
	"slow_query_log_timeout":          "0ms",
	"request_timeout":                 "10000ms",
	"read_request_timeout":            "10000ms",
	"write_request_timeout":           "10000ms",
	"dynamic_snitch":                  "false",
	"trickle_fsync":                   "false",
	"compaction_throughput":           "0MiB/s",
	"stream_throughput_outbound":      "200MiB/s",
	"inter_dc_tcp_nodelay":            "true",
	"concurrent_compactors":           "1",
	"memtable_flush_writers":          "1",
	"column_index_size":               "16KiB",
	"repair_session_space":            "16MiB",
	"native_transport_max_frame_size": "16MiB",
}

// yaml is the text of cassandra.yaml.
func (s Spec) yaml() string {
	values := maps.Clone(defaults)
	maps.Copy(values, s.Settings)
	authenticator, authorizer := "PasswordAuthenticator", "CassandraAuthorizer"
	if s.Open {
		authenticator, authorizer = "AllowAllAuthenticator", "AllowAllAuthorizer"
	}
	at := func(name string) string { return strconv.Quote(filepath.Join(s.dataDir(), name)) }
	maps.Copy(values, map[string]string{
		"cluster_name": strconv.Quote(s.Cluster), "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner", "endpoint_snitch": "GossipingPropertyFileSnitch",
		"listen_address": s.Address, "rpc_address": s.Address, "storage_port": strconv.Itoa(s.StoragePort), "native_transport_port": strconv.Itoa(s.Port),
		"start_native_transport": "true", "authenticator": authenticator, "authorizer": authorizer, "role_manager": "CassandraRoleManager",
		"data_file_directories": "[" + at("data") + "]", "commitlog_directory": at("commitlog"), "saved_caches_directory": at("saved_caches"),
		"hints_directory": at("hints"), "cdc_raw_directory": at("cdc_raw"),
		"seed_provider": fmt.Sprintf("[{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: %q}]}]", strings.Join(s.Seeds, ",")),
	})
	var b strings.Builder
	b.WriteString(written)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s: %s\n", name, values[name])
	}
	return b.String()
}

func (s Spec) logback() string {
	return `<!-- Written by Meridian; changes are overwritten. -->
<configuration>
  <appender name="FILE" class="ch.qos.logback.core.rolling.RollingFileAppender">
    <file>` + filepath.Join(s.Home, "log", "system.log") + `</file>
    <rollingPolicy class="ch.qos.logback.core.rolling.FixedWindowRollingPolicy">
      <fileNamePattern>` + filepath.Join(s.Home, "log", "system.log.%i") + `</fileNamePattern>
      <minIndex>1</minIndex>
      <maxIndex>1</maxIndex>
    </rollingPolicy>
    <triggeringPolicy class="ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy"><maxFileSize>8MB</maxFileSize></triggeringPolicy>
    <encoder><pattern>%-5level %date{ISO8601} %logger{1} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="FILE"/></root>
</configuration>
`
}

// configure writes the node's configuration; it reports whether what a restart reads has changed.
func (s Spec) configure(a machine.Account) (changed bool, err error) {
	for _, dir := range []string{"conf", "conf/triggers", "tmp", "log", "data"} {
		if err := a.MakeDir(filepath.Join(s.Home, dir)); err != nil {
			return false, err
		}
	}
	for name, text := range map[string]string{
		confName: s.yaml(), "conf/logback-tools.xml": "<configuration><root level=\"OFF\"/></configuration>\n", "conf/logback.xml": s.logback(), "conf/cassandra-rackdc.properties": written + "dc=" + s.Datacenter + "\nrack=" + s.Rack + "\n",
	} {
		path := filepath.Join(s.Home, name)
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, []byte(text)) {
			continue
		}
		if err := a.ReplaceFile(path, []byte(text), false); err != nil {
			return false, err
		}
		changed = true
	}
	path := filepath.Join(s.Home, jmxFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	// The node and nodetool both read it. It is no database's password: it lets in whoever may read the node's files anyway.
	return true, a.ReplaceFile(path, []byte("meridian "+rand.Text()+"\n"), true)
}
