"""The messages of the API, generated from proto/nashswarm/v1/nashswarm.proto when the package is built."""
