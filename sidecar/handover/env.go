package handover

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// Prefix begins the name of every variable.
const Prefix = "PITCREW_GAMESERVER_"

// Variable is one of the environment.
type Variable struct{ Name, Value string }

// Variables are what a game may want to know:
//
//	PITCREW_GAMESERVER_NAME, _NAMESPACE, _UID, _STATE, _ADDRESS
//	PITCREW_GAMESERVER_ALLOCATED           when it was last allocated, as Agones wrote it; missing before
//	PITCREW_GAMESERVER_PORT                the first public port; _PORT_NAME for each that has a name
//	PITCREW_GAMESERVER_CAPACITY_LIST       the capacity of each list
//	PITCREW_GAMESERVER_LABEL_KEY, _ANNOTATION_KEY
//
// Keys are in capitals, with an underscore for whatever is neither letter nor digit; of keys that become the same the first in
// the alphabet counts. What the sidecar itself writes is left out, as are values with a NUL. They are sorted by name.
func Variables(g sidecar.GameServer) []Variable {
	all := map[string]string{}
	set := func(name, value string) {
		if _, taken := all[Prefix+name]; !taken && value != "" && !strings.Contains(value, "\x00") {
			all[Prefix+name] = value
		}
	}
	set("NAME", g.Name)
	set("NAMESPACE", g.Namespace)
	set("UID", g.UID)
	set("STATE", string(g.State))
	set("ADDRESS", g.Address)
	set("ALLOCATED", g.LastAllocated())
	for i, p := range g.Ports {
		port := strconv.Itoa(int(p.Port))
		if i == 0 {
			set("PORT", port)
		}
		if p.Name != "" {
			set("PORT_"+key(p.Name), port)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.Lists)) {
		set("CAPACITY_"+key(name), strconv.FormatInt(g.Lists[name].Capacity, 10))
	}
	for kind, values := range map[string]map[string]string{"LABEL_": g.Labels, "ANNOTATION_": g.Annotations} {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !strings.HasPrefix(name, sidecar.SDKPrefix) {
				set(kind+key(name), values[name])
			}
		}
	}
	var out []Variable
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, Variable{name, all[name]})
	}
	return out
}

func key(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// File has a line NAME='VALUE' for each variable, quoted for a POSIX shell's `.`: nothing in a value is ever run.
func File(variables []Variable) []byte {
	var b bytes.Buffer
	for _, v := range variables {
		fmt.Fprintf(&b, "%s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
	}
	return b.Bytes()
}

// Environ is what os/exec takes.
func Environ(variables []Variable) []string {
	var out []string
	for _, v := range variables {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}
