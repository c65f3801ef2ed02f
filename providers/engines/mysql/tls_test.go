package mysql

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
	"testing"
	"time"

	"meridian/providers"
	"meridian/providers/engines/mysql/mariadbtest"
)

// authority writes the files of an authority and of a server's certificate that it signed, and returns their paths.
func authority(t *testing.T, address string) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of tests"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &signer.PublicKey, signer)
	must(t, err)
	ca = write("ca.pem", "CERTIFICATE", der)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server of tests"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		IPAddresses: []net.IP{net.ParseIP(address)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, leaf, root, &own.PublicKey, signer)
	must(t, err)
	cert = write("cert.pem", "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(own)
	must(t, err)
	return ca, cert, write("key.pem", "PRIVATE KEY", der)
}

// TestServerIsProven lets only a server answer that the given authority has signed, under the name by which it is reached.
func TestServerIsProven(t *testing.T) {
	t.Parallel()
	ca, cert, key := authority(t, "127.0.0.1")
	other, otherCert, otherKey := authority(t, "127.0.0.9")
	good := start(t, mariadbtest.Config{Args: []string{"--ssl-ca=" + ca, "--ssl-cert=" + cert, "--ssl-key=" + key, "--require-secure-transport=1"}})
	named := start(t, mariadbtest.Config{Args: []string{"--ssl-ca=" + other, "--ssl-cert=" + otherCert, "--ssl-key=" + otherKey}})
	for name, c := range map[string]struct {
		server    *mariadbtest.Server
		mode, ca  string
		ok        bool
		permanent bool
	}{
		"proven":                 {good, "verify-full", ca, true, false},
		"encrypted":              {good, "require", "", true, false},
		"encrypted where it may": {good, "prefer", "", true, false},
		"the chain alone":        {good, "verify-ca", ca, true, false},
		"of another authority":   {good, "verify-full", other, false, false},
		"the chain of another":   {good, "verify-ca", other, false, false},
		"under another name":     {named, "verify-full", other, false, false},
		"no name is asked for":   {named, "verify-ca", other, true, false},
		"not encrypted":          {good, "disable", "", false, true},
		"no file of authorities": {good, "verify-full", ca + ".not", false, true},
		"a file without any":     {good, "verify-full", key, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			at := target(c.server, "here")
			at.Endpoint.TLSMode, at.Endpoint.CAFile = c.mode, c.ca
			err := MySQL().Probe(t.Context(), at)
			if (err == nil) != c.ok || errors.Is(err, providers.ErrPermanent) != c.permanent {
				t.Error(err)
			}
		})
	}
}
