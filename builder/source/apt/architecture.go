package apt

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// architectures maps "ARCH" or "ARCH/VARIANT" of a platform to Debian's name for it.
var architectures = map[string]string{
	"386": "i386", "amd64": "amd64", "arm/v5": "armel", "arm/v6": "armel", "arm/v7": "armhf", "arm": "armhf",
	"arm64": "arm64", "arm64/v8": "arm64", "loong64": "loong64", "mips64le": "mips64el", "ppc64le": "ppc64el",
	"riscv64": "riscv64", "s390x": "s390x",
}

func architecture(p v1.Platform) (string, error) {
	key := p.Architecture
	if p.Variant != "" && p.Architecture != "amd64" { // amd64/v2 and later run what amd64 runs
		key += "/" + p.Variant
	}
	arch, ok := architectures[key]
	if !ok || p.OS != "linux" {
		return "", builder.Errorf(builder.Config, "use linux/amd64 or linux/arm64, or another source for this platform",
			"apt source: Debian has no architecture for platform %s", p)
	}
	return arch, nil
}
