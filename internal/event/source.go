package event

import "strings"

// Carries reports whether a source reads the records called name, by its key:
// "entra/contoso/alerts" reads alerts; that of a stream names everything that it
// carries, "entra/contoso/hub:alerts+calls".
func Carries(source, name string) bool {
	for one := range strings.SplitSeq(carried(source), "+") {
		if one == name {
			return true
		}
	}
	return false
}

// CarriesAny is Carries of any name that begins so.
func CarriesAny(source, prefix string) bool {
	for one := range strings.SplitSeq(carried(source), "+") {
		if strings.HasPrefix(one, prefix) {
			return true
		}
	}
	return false
}

func carried(source string) string {
	last := source[strings.LastIndexByte(source, '/')+1:]
	return last[strings.LastIndexByte(last, ':')+1:]
}
