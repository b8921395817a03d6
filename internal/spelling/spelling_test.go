package spelling_test

import (
	"testing"

	"poolfill/internal/spelling"
)

func TestTheNearestNameIsProposed(t *testing.T) {
	names := []string{"audio", "image", "image_left", "label"}
	for name, want := range map[string]string{
		"imagis": "image", "Image": "image", "imge": "image", "image-left": "image_left", "lable": "label", "zebra": "", "x": "", "": "",
	} {
		if got := spelling.Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
