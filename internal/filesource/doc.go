// Package filesource reads from files what a controller reads from an API server: the same objects, judged by the same
// rules.
//
//	files, directories, standard input
//	   | split            documents, with their lines
//	   | decode           strict: unknown fields and keys given twice are refused
//	   | validate         schema, defaults and CEL of the CRDs; what the API server asks of the others
//	   v
//	World ---> compile.Snapshot, credentials, endpoints      Check compiles all of it
//
// A mistake is a Finding that names the file, the object and the field. It has the blast radius of its object: the others
// are read as if it were not there. As an API server would, a Source that reads its files again keeps an object as it was
// accepted before when its new version is refused, so that a slip of the pen never opens what was protected. A document
// that can't be read at all keeps what its file held before.
//
// Objects have no creationTimestamp here: who is older is decided by namespace and name. Their UID is computed from kind,
// namespace and name, so that it is the same on every machine.
package filesource
