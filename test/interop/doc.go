// Package interop holds the tests that verify tokens of libraries that others wrote, in another language. They need Node.js
// and npm, and install the libraries into the user's cache once.
package interop
