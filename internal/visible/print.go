package visible

import (
	"fmt"
	"io"
)

// Sprintf formats as fmt.Sprintf does, and makes what each argument comes to visible: the
// format is ours and may have lines and tabs, what fills it in is somebody's and has none.
// A width by an argument (%*d) is not known.
func Sprintf(format string, args ...any) string {
	if false {
		_ = fmt.Sprintf(format, args...) // so that vet checks the calls
	}
	shown := make([]any, len(args))
	for i, arg := range args {
		shown[i] = foreign{arg}
	}
	return fmt.Sprintf(format, shown...)
}

// Fprintf writes what Sprintf returns.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	if false {
		_ = fmt.Sprintf(format, args...) // so that vet checks the calls
	}
	return io.WriteString(w, Sprintf(format, args...))
}

// foreign is a value whose text isn't ours.
type foreign struct{ value any }

// Format is part of fmt.Formatter.
func (f foreign) Format(s fmt.State, verb rune) {
	_, _ = io.WriteString(s, Text(fmt.Sprintf(fmt.FormatString(s, verb), f.value))) // it keeps its own errors
}
