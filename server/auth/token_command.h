// `nashswarmd token`: makes a token for a tenant.
#ifndef NASHSWARM_SERVER_AUTH_TOKEN_COMMAND_H_
#define NASHSWARM_SERVER_AUTH_TOKEN_COMMAND_H_

#include <iosfwd>
#include <string>
#include <vector>

namespace nashswarm::server {

// `arguments` without "nashswarmd token". The token goes to `out`, once; its line for the --tokens file to `err`, or to
// the end of the file --append names. Returns the exit status.
int RunTokenCommand(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_AUTH_TOKEN_COMMAND_H_
