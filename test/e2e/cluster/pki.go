package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// authority is a cluster's certificate authority, which keeps certificates and keys as files.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func newAuthority(dir string) (*authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &authority{dir: dir}
	if err := a.issue("ca", pkix.Name{CommonName: "kubernetes"}, nil, nil); err != nil {
		return nil, err
	}
	return a, a.serviceAccounts()
}

// issue writes NAME.crt and NAME.key. The first one is the authority's own.
func (a *authority) issue(name string, subject pkix.Name, hosts []string, ips []net.IP) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: subject, DNSNames: hosts, IPAddresses: ips, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		t.IsCA, t.KeyUsage, t.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, nil
		parent, signer = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			return err
		}
		a.key, a.pem = key, crt
	}
	if err := os.WriteFile(a.path(name+".crt"), crt, 0o600); err != nil {
		return err
	}
	return a.writeKey(name+".key", key)
}

func (a *authority) writeKey(name string, key crypto.Signer) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600)
}

// serviceAccounts writes the key that their tokens are signed with.
func (a *authority) serviceAccounts() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return a.writeKey("sa.key", key)
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// user writes NAME.kubeconfig for somebody new.
func (a *authority) user(name, server string, subject pkix.Name, hosts []string, ips []net.IP) error {
	if err := a.issue(name, subject, hosts, ips); err != nil {
		return err
	}
	c := api.NewConfig()
	c.Clusters["e2e"] = &api.Cluster{Server: server, CertificateAuthorityData: a.pem}
	c.AuthInfos[name] = &api.AuthInfo{ClientCertificate: a.path(name + ".crt"), ClientKey: a.path(name + ".key")}
	c.Contexts["e2e"] = &api.Context{Cluster: "e2e", AuthInfo: name}
	c.CurrentContext = "e2e"
	return clientcmd.WriteToFile(*c, a.path(name+".kubeconfig"))
}
