package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/providers"
)

// authority signs certificates of servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func writePEM(t *testing.T, path, typ string, der []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), mode); err != nil {
		t.Fatal(err)
	}
	if lab.cred != nil {
		if err := os.Chown(path, int(lab.cred.Uid), int(lab.cred.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{cert: cert, key: key, file: filepath.Join(t.TempDir(), name+".pem")}
	writePEM(t, a.file, "CERTIFICATE", der, 0o644)
	return a
}

// certify gives a server a certificate for an address, and starts it again with TLS.
func (a authority) certify(t *testing.T, s *server, address string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(s.dir, "server.crt"), "CERTIFICATE", der, 0o600)
	writePEM(t, filepath.Join(s.dir, "server.key"), "PRIVATE KEY", private, 0o600)
	s.kill()
	s.settings = map[string]string{"ssl": "on"}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// TestServerIsProven holds that with a file of authorities only the server that one of them vouches for is talked to, by us and by pg_dump.
func TestServerIsProven(t *testing.T) {
	good, other := newAuthority(t, "good"), newAuthority(t, "other")
	src, elsewhere := ownServer(t, "proven", nil), ownServer(t, "elsewhere", nil)
	good.certify(t, src, src.host)
	good.certify(t, elsewhere, "127.99.0.1")
	for name, c := range map[string]struct {
		s         *server
		mode, ca  string
		says      string
		permanent bool
	}{
		"the right one":             {src, "verify-full", good.file, "", false},
		"another authority":         {src, "verify-full", other.file, "certificate signed by unknown authority", false},
		"another server's":          {elsewhere, "verify-full", good.file, "127.77.0.1", false},
		"without proof":             {elsewhere, "require", "", "", false},
		"a file that is not there":  {src, "verify-full", good.file + ".gone", "put the file there", true},
		"no proof by the machine's": {src, "verify-full", "", "certificate signed by unknown authority", false},
	} {
		t.Run(name, func(t *testing.T) {
			target := c.s.target("ankara")
			target.Endpoint.TLSMode, target.Endpoint.CAFile = c.mode, c.ca
			err := newEngine().Probe(t.Context(), target)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, providers.ErrPermanent) != c.permanent):
				t.Errorf("%v, want %s", err, c.says)
			}
		})
	}
	t.Run("a link", func(t *testing.T) {
		w := newWorld(t, src, lab.target)
		mustExec(t, src.session(t, w.in.Link.Databases[0], w.app(), appPassword), "CREATE TABLE parcels (id int PRIMARY KEY)")
		w.in.From.Endpoint.TLSMode, w.in.From.Endpoint.CAFile = "verify-full", good.file
		w.ensure()
		w.ready()
		w.in.From.Endpoint.CAFile = other.file
		d, err := w.engine.dumper(src.bin.major)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.archive(t.Context(), w.in.From, w.in.Link.Databases[0], w.in.RunNumber); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("pg_dump talks to a server that nobody vouches for: %v", err)
		}
		w.in.From.Endpoint.CAFile = good.file
	})
}
