package temporal

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"meridian/persistence/keyring"
	"meridian/persistence/temporal/tlstest"
)

const secretWord = "a-word-that-is-nobodys-business"

// TestExternal uses a Temporal server of somebody else by mutual TLS and an API key. What is given, returned and failed with is sealed
// there, the Web UI opens it, and every way to be refused says what to do.
func TestExternal(t *testing.T) {
	t.Parallel()
	host, err := Start(t.Context(), Options{Namespace: "theirs", Logger: logTo(os.Stderr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Stop)
	ca := tlstest.New(t)
	address := tlstest.Front(t, host.FrontendAddress(), ca.Mutual("frontend.test"))
	cert, key := ca.Issue("meridian.test")
	apiKey := filepath.Join(t.TempDir(), "key")
	write(t, apiKey, host.Key())
	keys, err := keyring.Open(keyring.Source{Dir: t.TempDir()}, true)
	if err != nil {
		t.Fatal(err)
	}
	settings := func() Settings {
		return Settings{External: &External{
			Address: address, Namespace: "theirs", APIKey: &Secret{File: apiKey}, TLS: &TLS{CA: ca.CA, Cert: cert, Key: key, ServerName: "frontend.test"},
		}}
	}
	s, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: settings(), Sealer: keys, UI: true, Logger: logTo(os.Stderr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if s.Namespace() != "theirs" || s.FrontendAddress() != address {
		t.Errorf("it is %s at %s", s.Namespace(), s.FrontendAddress())
	}

	c := clientOf(t, s)
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(func(_ workflow.Context, word string) (string, error) {
		if strings.HasPrefix(word, "fail ") {
			return "", errors.New(word)
		}
		return "got " + word, nil
	}, workflow.RegisterOptions{Name: "echo"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	for id, word := range map[string]string{"works": secretWord, "fails": "fail " + secretWord} {
		run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue}, "echo", word)
		if err != nil {
			t.Fatal(err)
		}
		var out string
		err = run.Get(t.Context(), &out)
		if id == "works" && (err != nil || out != "got "+secretWord) {
			t.Errorf("works: %q, %v", out, err)
		}
		if id == "fails" && (err == nil || !strings.Contains(err.Error(), secretWord)) {
			t.Errorf("fails: %v", err)
		}
		sealed := history(t, clientOf(t, host), id)
		if bytes.Contains(sealed, []byte(secretWord)) || !bytes.Contains(sealed, []byte(sealedEncoding)) {
			t.Errorf("%s: the history holds the word in clear, or nothing that is sealed", id)
		}
	}

	// Another process with the same settings, like a worker.
	joined, err := Join(Options{Dir: t.TempDir(), Settings: settings(), Sealer: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer joined.Close()
	var out string
	if err := joined.GetWorkflow(t.Context(), "works", "").Get(t.Context(), &out); err != nil || out != "got "+secretWord {
		t.Errorf("joined: %q, %v", out, err)
	}
	opensInUI(t, s, keys)

	// A front that asks for no certificate, as Temporal Cloud's with API keys: the key alone lets in, and a wrong one does not.
	open := ca.Mutual("cloud.test")
	open.ClientAuth, open.ClientCAs = tls.NoClientCert, nil
	cloud := settings()
	cloud.External.Address, cloud.External.TLS = tlstest.Front(t, host.FrontendAddress(), open), &TLS{CA: ca.CA, ServerName: "cloud.test"}
	if err := byKey(t, cloud, keys); err != nil {
		t.Errorf("with a key alone: %v", err)
	}
	cloud.External.APIKey = &Secret{Env: "PATH"}
	if err := byKey(t, cloud, keys); err == nil || !strings.Contains(err.Error(), "refuses us") {
		t.Errorf("with a wrong key alone: %v", err)
	}

	for name, test := range map[string]struct {
		change func(e *External)
		want   string
	}{
		"no certificate":    {func(e *External) { e.TLS.Cert, e.TLS.Key = "", "" }, "TLS does not come about"},
		"a foreign server":  {func(e *External) { e.TLS.CA = tlstest.New(t).CA }, "TLS does not come about"},
		"another name":      {func(e *External) { e.TLS.ServerName = "other.test" }, "TLS does not come about"},
		"a wrong key":       {func(e *External) { e.APIKey = &Secret{Env: "PATH"} }, "refuses us"},
		"no such namespace": {func(e *External) { e.Namespace = "nobodys" }, "has no namespace nobodys"},
		"nobody there":      {func(e *External) { e.Address = "127.0.0.1:1" }, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			test.change(set.External)
			_, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: set, Logger: logTo(os.Stderr)})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), host.Key()) || strings.Contains(err.Error(), os.Getenv("PATH"))) {
				t.Error("the error holds a key")
			}
		})
	}
}

// byKey reads what a workflow of TestExternal gave, by other settings.
func byKey(t *testing.T, set Settings, keys *keyring.Keyring) error {
	t.Helper()
	s, err := Start(t.Context(), Options{Dir: t.TempDir(), Settings: set, Sealer: keys, Logger: logTo(os.Stderr)})
	if err != nil {
		return err
	}
	defer s.Stop()
	var out string
	if err := clientOf(t, s).GetWorkflow(t.Context(), "works", "").Get(t.Context(), &out); err != nil {
		return err
	}
	if out != "got "+secretWord {
		return errors.New("it gave " + out)
	}
	return nil
}

// history is the text of a workflow's events as the server has them.
func history(t *testing.T, c client.Client, id string) []byte {
	t.Helper()
	var out []byte
	events := c.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw...)
	}
	return out
}

// opensInUI wants the Web UI to open a sealed payload for who shows the key, and for nobody else.
func opensInUI(t *testing.T, s *Server, keys *keyring.Keyring) {
	t.Helper()
	plain, err := converter.GetDefaultDataConverter().ToPayloads(secretWord)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := codec{keys, true}.Encode(plain.Payloads)
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: sealed})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, key string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.UIAddress()+"/temporal"+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	status, text := ask("/codec/decode", s.Key())
	var opened commonpb.Payloads
	var word string
	if err := protojson.Unmarshal([]byte(text), &opened); err != nil || status != http.StatusOK {
		t.Fatalf("decode: %d %q %v", status, text, err)
	}
	if err := converter.GetDefaultDataConverter().FromPayloads(&opened, &word); err != nil || word != secretWord {
		t.Errorf("opened as %q, %v", word, err)
	}
	if status, _ := ask("/codec/decode", "nobody's"); status != http.StatusUnauthorized {
		t.Errorf("without the key: %d", status)
	}
	if status, _ := ask("/codec/encode", s.Key()); status != http.StatusNotFound {
		t.Errorf("it seals too: %d", status)
	}
	_, settings := get(t, "http://"+s.UIAddress()+"/temporal/api/v1/settings", s.Key())
	var says struct{ Codec struct{ Endpoint string } }
	if err := json.Unmarshal([]byte(settings), &says); err != nil || says.Codec.Endpoint != "/temporal/codec" {
		t.Errorf("the UI's settings name the codec %q (%v)", says.Codec.Endpoint, err)
	}
	if status, _ := get(t, "http://"+s.UIAddress()+"/temporal/api/v1/namespaces/theirs", s.Key()); status.StatusCode != http.StatusOK {
		t.Errorf("the UI's backend does not reach the server: %s", status.Status)
	}
}

// TestCodec seals under the newest key, opens what older keys sealed, lets plain payloads pass, and opens nothing of another use.
func TestCodec(t *testing.T) {
	keys, err := keyring.Open(keyring.Source{Dir: t.TempDir()}, true)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := converter.GetDefaultDataConverter().ToPayloads("one", 2, []byte{3})
	if err != nil {
		t.Fatal(err)
	}
	c := codec{keys, true}
	before, err := c.Encode(plain.Payloads)
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	after, err := c.Encode(plain.Payloads)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(after[0].Data, []byte(id)) || bytes.Contains(before[0].Data, []byte(id)) {
		t.Error("a sealed payload does not name the newest key of its time")
	}
	for name, payloads := range map[string][]*commonpb.Payload{"older": before, "newest": after, "plain": plain.Payloads} {
		opened, err := codec{keys, false}.Decode(payloads)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range opened {
			if !proto.Equal(opened[i], plain.Payloads[i]) {
				t.Errorf("%s: payload %d is %v", name, i, opened[i])
			}
		}
	}
	if same, err := (codec{keys, false}).Encode(plain.Payloads); err != nil || same[0] != plain.Payloads[0] {
		t.Errorf("switched off it seals: %v", err)
	}
	foreign, err := keys.Seal([]byte("a row"), "runs/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decode([]*commonpb.Payload{{Metadata: before[0].Metadata, Data: foreign}}); err == nil {
		t.Error("a row was opened as a payload")
	}
	before[0].Data[len(before[0].Data)-1] ^= 1
	if _, err := c.Decode(before); err == nil {
		t.Error("a changed payload was opened")
	}
}

var _ Sealer = (*keyring.Keyring)(nil)

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, " s3cret\n")
	t.Setenv("MERIDIAN_TEST_SECRET", "s3cret")
	for name, s := range map[string]Secret{
		"file": {File: file}, "variable": {Env: "MERIDIAN_TEST_SECRET"}, "command": {Command: []string{"echo", "s3cret"}},
	} {
		if got, err := s.Read(context.Background()); err != nil || got != "s3cret" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		s    Secret
		want string
	}{
		"others may read it": {Secret{File: file}, "chmod 600"},
		"empty":              {Secret{Env: "MERIDIAN_NO_SUCH_VARIABLE"}, "it is empty"},
		"fails":              {Secret{Command: []string{"sh", "-c", "echo s3cret; echo s3cret >&2; exit 3"}}, "exit status 3"},
		"prints for ever":    {Secret{Command: []string{"sh", "-c", "while echo s3cret; do :; done"}}, "prints more than"},
	} {
		_, err := test.s.Read(context.Background())
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
