package terraform

import (
	"maps"
	"sort"
	"strings"
)

// passed are the parent's variables that terraform and its plugins get, by name.
var passed = map[string]bool{
	"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "LANG": true, "LANGUAGE": true, "TZ": true, "TMPDIR": true,
	"SSL_CERT_FILE": true, "SSL_CERT_DIR": true,
	"HTTP_PROXY": true, "HTTPS_PROXY": true, "NO_PROXY": true, "ALL_PROXY": true,
	"http_proxy": true, "https_proxy": true, "no_proxy": true, "all_proxy": true,
	"XDG_CACHE_HOME": true, "XDG_CONFIG_HOME": true, "XDG_DATA_HOME": true, "XDG_RUNTIME_DIR": true,
	"IDENTITY_ENDPOINT": true, "IDENTITY_HEADER": true, "MSI_ENDPOINT": true, "MSI_SECRET": true,
}

// passedPrefixes are the same by prefix: the locale, the clouds' own, and what our plugin reads (where PostgreSQL is, hooks of tests).
var passedPrefixes = []string{
	"LC_", "AWS_", "GOOGLE_", "GCLOUD_", "GCE_", "CLOUDSDK_", "ARM_", "AZURE_", "ASTRA_", "MERIDIAN_LOCALDB_", "MERIDIAN_POSTGRES_",
}

// quiet makes terraform predictable. GOGC=400 takes about a fifth of the CPU of a run of a big provider for some memory;
// off would need more than 1 GB.
var quiet = map[string]string{
	"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1", "GOGC": "400",
}

// EnvCLIConfig names terraform's CLI configuration file; Environment never passes the parent's.
const EnvCLIConfig = "TF_CLI_CONFIG_FILE"

// Environment is the environment of a terraform: an allow-list of the parent's variables (path, home, locale, temporary directory,
// proxies, certificates, the clouds' own), what makes terraform quiet and predictable, each secret as TF_VAR_<name>, and extra, which wins.
// Nothing else of the parent passes: no TF_CLI_ARGS, TF_LOG, TF_VAR_*, TF_CLI_CONFIG_FILE. It is sorted.
func Environment(parent []string, secrets, extra map[string]string) []string {
	vars := map[string]string{}
	for _, entry := range parent {
		if name, value, ok := strings.Cut(entry, "="); ok && passes(name) {
			vars[name] = value
		}
	}
	maps.Copy(vars, quiet)
	for name, value := range secrets {
		vars["TF_VAR_"+name] = value
	}
	maps.Copy(vars, extra)
	env := make([]string, 0, len(vars))
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	sort.Strings(env)
	return env
}

func passes(name string) bool {
	if passed[name] {
		return true
	}
	for _, prefix := range passedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
