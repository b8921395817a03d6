package pipeline

import "testing"

func TestTheValueThatWasSentIsFound(t *testing.T) {
	const task = `"input_values":{"image":"caf\u00e9","n":7.50,"tags":["a","b"]},"known_solutions":[{"output_values":{"result":"cat"}}],"overlap":3`
	for field, want := range map[string]string{
		"input_values.image":                     "café",
		"input_values.n":                         "7.50",
		"input_values.tags":                      `["a","b"]`,
		"input_values.tags.1":                    "b",
		"input_values.missing":                   "",
		"input_values.image.deeper":              "",
		"known_solutions.0.output_values.result": "cat",
		"known_solutions.1.output_values.result": "",
		"overlap":                                "3",
		"":                                       "",
	} {
		if got := sentValue([]byte(task), field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if got := sentValue([]byte(`broken`), "input_values.image"); got != "" {
		t.Errorf("of a broken task: %q", got)
	}
}
