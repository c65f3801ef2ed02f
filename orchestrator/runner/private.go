package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/stacks/terraform"
	"meridian/stacks/terraform/launch"
)

// EnvPrivatePlugin, set to "off", lets terraform start every plugin by itself: several times a launch.
const EnvPrivatePlugin = "MERIDIAN_PRIVATE_PLUGIN"

// The words of a plugin's start: what terraform says to a plugin that it starts, and what a plugin answers. Without a certificate in its
// environment the plugin serves on a unix socket in a directory of ours without TLS.
const (
	pluginCookie    = "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
	pluginProtocols = "5,6"
	// pluginAnswers is how long a plugin may take to say where it listens: ours takes 15 ms, one of 700 MB more than a second.
	pluginAnswers = 30 * time.Second
)

// privatePlugin is the plugin to start beside a launch of p, or none where terraform shall start its plugins itself: that is
// always right, and only slower. Only terraform is known to take a plugin that runs.
func (w *worker) privatePlugin(p *prepared) launch.Plugin {
	if os.Getenv(EnvPrivatePlugin) == "off" || p.binary.Product != launch.ProductTerraform {
		return launch.Plugin{}
	}
	stack := p.step.Stack
	if p.step.Destroy { // terraform refreshes first: it configures each provider twice, which a process of somebody else's may not take
		stack.Once = ""
	}
	plugin, err := launch.PrivatePlugin(p.template, stack)
	if err != nil {
		w.log.Warn("terraform starts the plugin itself", "error", err) // and says what is wrong with it
		return launch.Plugin{}
	}
	return plugin
}

// plugin is a plugin that runs for one launch of terraform: one process, one configuration, one step. It stays in the process group
// of who started it, so that no signal for terraform's group reaches it, holds the stack's lock as terraform does, and is ended by
// whoever knows terraform dead.
type plugin struct {
	cmd      *exec.Cmd
	source   string
	protocol int
	address  string
	ended    chan struct{}
}

// errNoAnswer means that a plugin ended, or said something else, before it said where it listens.
var errNoAnswer = errors.New("the plugin did not say where it listens")

// startPlugin starts the plugin beside the terraform that is to be started with the same environment, in the same work directory, and
// waits until it listens. What it inherits besides is in cmd already.
func startPlugin(cmd *exec.Cmd, source string, env []string, dir string) (*plugin, error) {
	// The socket lies in the work directory, which is ours alone, and is named from there: its path may not be longer than 107 bytes.
	cmd.Dir = dir
	cmd.Env = append(append([]string(nil), env...), pluginCookie, "PLUGIN_PROTOCOL_VERSIONS="+pluginProtocols,
		"PLUGIN_UNIX_SOCKET_DIR="+terraform.DataDirName)
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &plugin{cmd: cmd, source: source, ended: make(chan struct{})}
	late := time.AfterFunc(pluginAnswers, func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(said).ReadString('\n')
	late.Stop()
	go func() { _, _ = io.Copy(io.Discard, said) }()
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // also where a process of the plugin's has its output still
	}()
	if err == nil {
		p.protocol, p.address, err = parseHandshake(line)
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return p, nil
}

// parseHandshake reads CORE|PROTOCOL|unix|ADDRESS|grpc|CERTIFICATE.
func parseHandshake(line string) (protocol int, address string, err error) {
	f := strings.Split(strings.TrimSpace(line), "|")
	if len(f) < 5 || f[0] != "1" || !slices.Contains(strings.Split(pluginProtocols, ","), f[1]) || f[2] != "unix" || f[3] == "" || f[4] != "grpc" || len(f) > 5 && f[5] != "" {
		return 0, "", fmt.Errorf("it said %.100q", line)
	}
	protocol, err = strconv.Atoi(f[1])
	return protocol, f[3], err
}

// variable is what makes terraform use this plugin.
func (p *plugin) variable() string {
	type address struct{ Network, String string }
	text, err := json.Marshal(map[string]any{p.source: struct {
		Protocol        string
		ProtocolVersion int
		Pid             int
		Test            bool // terraform neither ends it nor looks for its end
		Addr            address
	}{"grpc", p.protocol, p.cmd.Process.Pid, true, address{"unix", p.address}}})
	if err != nil {
		panic(fmt.Sprintf("reattach configuration of plain strings: %v", err))
	}
	return "TF_REATTACH_PROVIDERS=" + string(text)
}

// died reports whether the plugin ended by itself.
func (p *plugin) died() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// end ends the plugin; the caller knows its terraform dead.
func (p *plugin) end() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// maxDyingWords bounds what is kept of what a dying plugin said.
const maxDyingWords = 32 << 10

// dyingWords is what a plugin that died said, without the lines of its own log: the stack of a panic.
func dyingWords(logPath string) []byte {
	log, err := os.Open(logPath)
	if err != nil {
		return nil
	}
	defer func() { _ = log.Close() }()
	text, err := io.ReadAll(io.LimitReader(log, maxBatchBytes))
	if err != nil {
		return nil
	}
	var out []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("{")) && len(out)+len(line) <= maxDyingWords {
			out = append(out, line...)
		}
	}
	return out
}
