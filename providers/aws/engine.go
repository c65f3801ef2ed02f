package aws

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"meridian/stacks"
)

// The engines that this provider runs, by their words in a spec, which are RDS's own.
const (
	EnginePostgres = "postgres"
	EngineMySQL    = "mysql"
	EngineMariaDB  = "mariadb"
)

// engine is what RDS knows of an engine, as far as a spec can meet it.
type engine struct {
	// port is where it answers.
	port int64
	// version is how a version looks, and example one to write; majorParts is how many parts of it make the major version.
	version    *regexp.Regexp
	example    string
	majorParts int
	// tls is the parameter that refuses connections without encryption; logical the one that logical links need, "" where there are none.
	tls, logical string
	// logs are the logs that can go to CloudWatch, logged those that do unless said otherwise.
	logs, logged []string
	// static are the parameters that only a restart sets, and staticPrefixes what the names of more such ones begin with; AWS refuses to set them
	// at once.
	static         map[string]bool
	staticPrefixes []string
	// managed are the parameters that RDS or this provider decides.
	managed []string
	// aurora says that this provider makes Aurora clusters of it.
	aurora bool
}

var engines = map[string]engine{
	EnginePostgres: {
		port: 5432, version: regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`), example: "16", majorParts: 1,
		tls: "rds.force_ssl", logical: "rds.logical_replication",
		logs: []string{"postgresql", "upgrade"}, logged: []string{"postgresql", "upgrade"},
		static: staticPostgres, managed: managedPostgres, aurora: true,
	},
	EngineMySQL: {
		port: 3306, version: regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`), example: "8.4", majorParts: 2, tls: "require_secure_transport",
		logs: []string{"audit", "error", "general", "iam-db-auth-error", "slowquery"}, logged: []string{"error", "slowquery"},
		static: staticMySQL, staticPrefixes: []string{"performance_schema"}, managed: managedMySQL,
	},
	EngineMariaDB: {
		port: 3306, version: regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`), example: "11.4", majorParts: 2, tls: "require_secure_transport",
		logs: []string{"audit", "error", "general", "iam-db-auth-error", "slowquery"}, logged: []string{"error", "slowquery"},
		static: staticMySQL, staticPrefixes: []string{"performance_schema"}, managed: managedMySQL,
	},
}

// staticPostgres are PostgreSQL's parameters of context "postmaster". An extension's, and those that PostgreSQL does not know, are taken for
// static too: that is always accepted.
var staticPostgres = words(`autovacuum_freeze_max_age autovacuum_max_workers autovacuum_multixact_freeze_max_age cluster_name event_source
	huge_page_size huge_pages io_method jit_provider logging_collector max_active_replication_origins max_connections max_files_per_process
	max_locks_per_transaction max_logical_replication_workers max_pred_locks_per_transaction max_prepared_transactions max_replication_slots
	max_wal_senders max_worker_processes min_dynamic_shared_memory old_snapshot_threshold reserved_connections shared_buffers
	shared_memory_type shared_preload_libraries superuser_reserved_connections track_activity_query_size track_commit_timestamp wal_buffers
	wal_decode_buffer_size wal_log_hints`)

var managedPostgres = []string{
	"archive_command", "archive_mode", "data_directory", "hba_file", "ident_file", "listen_addresses", "port", "rds.force_ssl",
	"rds.logical_replication", "ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file", "unix_socket_directories", "wal_level",
}

// staticMySQL are the system variables of MySQL and MariaDB that are not dynamic, and those whose groups RDS shows as static.
// Source: MySQL 8.4 Reference Manual, "System Variable Reference"; MariaDB documentation, "Server System Variables".
var staticMySQL = words(`back_log binlog_gtid_simple_recovery binlog_row_event_max_size character-set-client-handshake default_authentication_plugin
	disabled_storage_engines enforce_gtid_consistency explicit_defaults_for_timestamp ft_max_word_len ft_min_word_len ft_query_expansion_limit ft_stopword_file gtid-mode gtid_mode
	innodb_adaptive_hash_index_parts innodb_autoinc_lock_mode innodb_buffer_pool_chunk_size innodb_buffer_pool_instances
	innodb_buffer_pool_load_at_startup innodb_commit_concurrency innodb_dedicated_server innodb_doublewrite_batch_size innodb_doublewrite_files
	innodb_doublewrite_pages innodb_flush_method innodb_force_recovery innodb_ft_cache_size innodb_ft_max_token_size innodb_ft_min_token_size
	innodb_ft_sort_pll_degree innodb_ft_total_cache_size innodb_log_file_size innodb_log_files_in_group innodb_numa_interleave innodb_open_files
	innodb_page_cleaners innodb_page_size innodb_purge_threads innodb_read_io_threads innodb_rollback_on_timeout innodb_sort_buffer_size
	innodb_stats_traditional innodb_sync_array_size innodb_temp_data_file_path innodb_use_native_aio innodb_validate_tablespace_paths
	innodb_write_io_threads log_bin_use_v1_row_events log_replica_updates log_slave_updates lower_case_table_names max_digest_length open_files_limit
	plugin_maturity relay_log_recovery relay_log_space_limit replica_skip_errors report_host skip_external_locking skip_name_resolve skip_networking
	skip_show_database slave_skip_errors table_open_cache_instances thread_handling thread_pool_size_mode thread_stack tls_version`)

var managedMySQL = []string{
	"basedir", "datadir", "general_log_file", "gtid_slave_pos", "innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_read_only", "log_bin", "log_error",
	"pid_file", "plugin_dir", "port", "read_only", "relay_log", "require_secure_transport", "secure_file_priv", "server_id", "slow_query_log_file",
	"socket", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "super_read_only", "tmpdir",
}

func words(text string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(text) {
		out[w] = true
	}
	return out
}

// engineOf is what RDS knows of a database's engine; false where this provider does not run it.
func engineOf(db stacks.Database) (engine, bool) {
	e, ok := engines[db.Spec.Engine.Name]
	return e, ok
}

// familyOf is the family of parameter groups that a database's major version has, like "postgres16" or "mysql8.4".
func familyOf(db stacks.Database) string {
	e, _ := engineOf(db)
	parts := strings.Split(db.Spec.Engine.Version, ".")
	return db.Spec.Engine.Name + strings.Join(parts[:min(len(parts), max(e.majorParts, 1))], ".")
}

// atRestart reports whether a parameter takes effect at the next restart only.
func (e engine) atRestart(name string) bool {
	return e.static[name] || strings.Contains(name, ".") && name != e.tls ||
		slices.ContainsFunc(e.staticPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// engine refuses an engine or a version that this provider cannot run, and reports whether it runs the engine.
func (c *checker) engine(db stacks.Database) (engine, bool) {
	e, ok := engineOf(db)
	name, version := db.Spec.Engine.Name, db.Spec.Engine.Version
	switch {
	case !ok:
		c.refuse("engine.unsupported", "spec.engine.name", "use postgres, mysql or mariadb", "provider aws does not run engine %q", name)
	case version == "":
		c.refuse("engine.version", "spec.engine", fmt.Sprintf("write the major version, like version: %q", e.example), "provider aws cannot tell the newest version of %s by itself", name)
	case !e.version.MatchString(version):
		c.refuse("engine.version", "spec.engine.version", fmt.Sprintf("write a major version, like %q, or an exact one", e.example), "%q is no version of %s in RDS", version, name)
	}
	return e, ok
}
