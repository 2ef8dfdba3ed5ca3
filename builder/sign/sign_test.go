package sign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
	"github.com/pitcrew-dev/pitcrew/builder/sign"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func public(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("PUBLIC KEY", der)
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func noPassword() ([]byte, error) { return nil, errors.New("asked for a password") }

func password() ([]byte, error) { return []byte("secret"), nil }

const statement = `{"_type":"https://in-toto.io/Statement/v1"}`

// Every form of key signs so that the library of the envelope's authors accepts it, and always in the same way.
func TestEnvelopesAreWhatTheirAuthorsLibraryAccepts(t *testing.T) {
	ec, ed := ecKey(t, elliptic.P256()), edKey(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := encrypted.Encrypt(pkcs8(t, ec), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		private, public []byte
		password        func() ([]byte, error)
	}{
		"Ed25519":         {block("PRIVATE KEY", pkcs8(t, ed)), public(t, ed.Public()), noPassword},
		"ECDSA, PKCS #8":  {block("PRIVATE KEY", pkcs8(t, ec)), public(t, ec.Public()), noPassword},
		"ECDSA, SEC 1":    {block("EC PRIVATE KEY", sec1), public(t, ec.Public()), noPassword},
		"ECDSA, cosign's": {block("ENCRYPTED SIGSTORE PRIVATE KEY", sealed), public(t, ec.Public()), password},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := sign.ParseKey(c.private, c.password)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := sign.Seal(t.Context(), key, []byte(statement))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := sign.Seal(t.Context(), key, []byte(statement)); err != nil || !bytes.Equal(raw, again) {
				t.Errorf("signed again: %v, other bytes", err)
			}
			independent(t, raw, c.public)
			pub, err := sign.ParsePublicKey(c.public)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range []*sign.PublicKey{pub, key.Public(), nil} {
				if got, err := sign.Open(t.Context(), k, raw); err != nil || string(got) != statement {
					t.Errorf("Open = %q, %v", got, err)
				}
			}
		})
	}
}

// independent checks an envelope with the library's own keys.
func independent(t *testing.T, raw, pub []byte) {
	t.Helper()
	var envelope dsse.Envelope
	if err := json.Unmarshal(raw, &envelope); err != nil {
		t.Fatal(err)
	}
	loaded, err := signerverifier.LoadKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	loaded.KeyID = "" // is of another kind there
	var v dsse.Verifier
	if loaded.KeyType == signerverifier.ED25519KeyType {
		v, err = signerverifier.NewED25519SignerVerifierFromSSLibKey(loaded)
	} else {
		v, err = signerverifier.NewECDSASignerVerifierFromSSLibKey(loaded)
	}
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := dsse.NewEnvelopeVerifier(v)
	if err != nil {
		t.Fatal(err)
	}
	if _, payload, err := verifier.VerifyAndDecode(t.Context(), &envelope); err != nil || string(payload) != statement {
		t.Errorf("the library: %q, %v", payload, err)
	}
	if envelope.PayloadType != provenance.MediaType {
		t.Errorf("payload type %q", envelope.PayloadType)
	}
}

func TestWhatWasChangedOrSignedByAnotherIsRefused(t *testing.T) {
	key, err := sign.ParseKey(block("PRIVATE KEY", pkcs8(t, edKey(t))), noPassword)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sign.ParseKey(block("PRIVATE KEY", pkcs8(t, ecKey(t, elliptic.P256()))), noPassword)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sign.Seal(t.Context(), key, []byte(statement))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Open(t.Context(), other.Public(), raw); builder.KindOf(err) != builder.Input {
		t.Errorf("another key: %v, want an Input error", err)
	}
	for name, edited := range map[string]string{
		"another payload":      strings.Replace(string(raw), `"payload":"ey`, `"payload":"e3`, 1),
		"another payload type": strings.Replace(string(raw), "in-toto", "in-tata", 1),
		"no signature":         `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}`,
		"no envelope":          "[]",
	} {
		if edited == string(raw) {
			t.Fatalf("%s: nothing was edited", name)
		}
		if _, err := sign.Open(t.Context(), key.Public(), []byte(edited)); builder.KindOf(err) != builder.Input {
			t.Errorf("%s: %v, want an Input error", name, err)
		}
	}
}

func TestKeysThatAreNotOursAreConfigErrors(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := encrypted.Encrypt(pkcs8(t, edKey(t)), []byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	p384 := ecKey(t, elliptic.P384())
	for name, text := range map[string][]byte{
		"nothing": nil, "text": []byte("secret words"), "garbage": block("PRIVATE KEY", []byte("secret")),
		"RSA": block("PRIVATE KEY", pkcs8(t, rsaKey)), "P-384": block("PRIVATE KEY", pkcs8(t, p384)),
		"a wrong password": block("ENCRYPTED COSIGN PRIVATE KEY", sealed),
	} {
		_, err := sign.ParseKey(text, password)
		if builder.KindOf(err) != builder.Config || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseKey of %s = %v, want a Config error without the file's content", name, err)
		}
	}
	for name, text := range map[string][]byte{
		"nothing": nil, "a private key": block("PRIVATE KEY", pkcs8(t, edKey(t))), "RSA": public(t, rsaKey.Public()), "P-384": public(t, p384.Public()),
	} {
		if _, err := sign.ParsePublicKey(text); builder.KindOf(err) != builder.Config {
			t.Errorf("ParsePublicKey of %s = %v, want a Config error", name, err)
		}
	}
}
