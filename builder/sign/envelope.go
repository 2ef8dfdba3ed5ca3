package sign

import (
	"context"
	"encoding/json"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
)

// EnvelopeType is the media type of envelopes, and the type of the artifact that holds them.
const EnvelopeType = "application/vnd.dsse.envelope.v1+json"

// Seal signs a statement.
func Seal(ctx context.Context, key *Key, statement []byte) ([]byte, error) {
	signer, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		return nil, err
	}
	envelope, err := signer.SignPayload(ctx, provenance.MediaType, statement)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope)
}

// Open returns the statement of an envelope, whose signature is checked unless key is nil. Errors are of kind Input.
func Open(ctx context.Context, key *PublicKey, raw []byte) ([]byte, error) {
	var envelope dsse.Envelope
	if err := json.Unmarshal(raw, &envelope); err != nil {
		return nil, builder.Errorf(builder.Input, "", "not a DSSE envelope: %w", err)
	}
	if envelope.PayloadType != provenance.MediaType {
		return nil, builder.Errorf(builder.Input, "", "the envelope holds %.80q, not an in-toto statement", envelope.PayloadType)
	}
	if key == nil {
		return payload(&envelope)
	}
	verifier, err := dsse.NewEnvelopeVerifier(key)
	if err != nil {
		return nil, err
	}
	if _, err := verifier.Verify(ctx, &envelope); err != nil {
		return nil, builder.Errorf(builder.Input, "", "no signature of the envelope is the key's: %w", err)
	}
	return payload(&envelope)
}

func payload(envelope *dsse.Envelope) ([]byte, error) {
	statement, err := envelope.DecodeB64Payload()
	if err != nil {
		return nil, builder.Errorf(builder.Input, "", "the envelope's payload is not base64: %w", err)
	}
	return statement, nil
}
