package terraform

// Environment is the environment of a terraform: an allow-list of the parent's variables (path, home, locale, temporary directory,
// proxies, certificates, the clouds' own), what makes terraform quiet and predictable, each secret as TF_VAR_<name>, and extra, which wins.
// Nothing else of the parent passes: no TF_CLI_ARGS, TF_LOG, TF_VAR_*, TF_CLI_CONFIG_FILE. It is sorted.
func Environment(parent []string, secrets, extra map[string]string) []string { panic("todo") }
