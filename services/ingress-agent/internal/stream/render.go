package stream

// Render gives the files of a build by path relative to their directory, as
// they are while no pod is known. Rejected routes are left out.
func Render(b Build, env Env) (map[string][]byte, error) {
	all, _, err := files(fill(b.Gateway, b.Forms, Pods{}, Model{}), env)
	return all, err
}

// Dir is where the stream routes' part of a state directory lies, below it.
const Dir = "stream"

// Reserved says by TCP port what the node itself listens for.
func Reserved(http, https int) map[int]string {
	return map[int]string{http: "HTTP", https: "HTTPS"}
}
