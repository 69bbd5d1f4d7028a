#include "broker/admission.h"

#include <algorithm>

#include "common/limits.h"

namespace csa {

namespace {

std::string quoted(std::string_view text) { return "'" + shown(text) + "'"; }

std::string broker_name(const HubConfig& broker) {
  return "the broker on " + shown(broker.hostname);
}

std::string range(std::uint8_t low, std::uint8_t high) {
  return low == high ? std::to_string(low) : std::to_string(low) + " to " + std::to_string(high);
}

std::optional<Refused> protocol_refusal(const HubConfig& broker, const Hello& hello) {
  if (hello.protocol_min <= kProtocolVersion && kProtocolVersion <= hello.protocol_max) {
    return std::nullopt;
  }
  return Refused{RefusalCode::kProtocol,
                 "Protocol versions differ: " + broker_name(broker) + " (" + shown(broker.program) +
                     ") speaks " + std::to_string(kProtocolVersion) + ", " + shown(hello.hostname) +
                     " (" + shown(hello.program) + ") speaks " +
                     range(hello.protocol_min, hello.protocol_max) +
                     ". Install the same release on both computers."};
}

std::optional<Refused> application_refusal(const HubConfig& broker, const Hello& hello) {
  if (hello.app == broker.app && hello.group == broker.group) return std::nullopt;
  return Refused{RefusalCode::kApplication,
                 "Another application or group: " + broker_name(broker) + " serves " +
                     quoted(broker.app) + ", group " + quoted(broker.group) + "; " +
                     shown(hello.hostname) + " asks for " + quoted(hello.app) + ", group " +
                     quoted(hello.group) +
                     ". Give both the same --app and --group, or name the right broker with "
                     "--broker."};
}

std::optional<Refused> version_refusal(const HubConfig& broker, const Hello& hello) {
  if (broker.app_version.empty() || hello.app_version.empty() ||
      broker.app_version == hello.app_version) {
    return std::nullopt;
  }
  return Refused{RefusalCode::kAppVersion,
                 "Versions of the application differ: " + broker_name(broker) + " wants " +
                     quoted(broker.app_version) + ", " + shown(hello.hostname) + " runs " +
                     quoted(hello.app_version) +
                     ". Install the same version on both computers, or start the broker with "
                     "another --app-version."};
}

std::optional<Refused> database_refusal(const HubConfig& broker, const MasterState& master,
                                        const Hello& hello) {
  if (!hello.db || *hello.db == master.db) return std::nullopt;
  return Refused{RefusalCode::kDatabase,
                 "Another database: the replica on " + shown(hello.hostname) + " belongs to " +
                     to_string(*hello.db) + ", " + broker_name(broker) + " serves " +
                     to_string(master.db) +
                     ". Use another --replica file to join this broker, or name the broker of the "
                     "replica's own database with --broker."};
}

std::optional<Refused> generation_refusal(const HubConfig& broker, const MasterState& master,
                                          const Hello& hello) {
  const Epoch ours = master.head.epoch;
  const Epoch theirs = hello.position ? hello.position->epoch : Epoch{};
  const std::uint64_t seen = std::max(hello.generation_seen, theirs.generation);
  if (seen > ours.generation) {
    return Refused{
        RefusalCode::kGeneration,
        "An old broker: " + shown(hello.hostname) + " has followed generation " +
            std::to_string(seen) + " of this database, " + broker_name(broker) +
            " is at generation " + std::to_string(ours.generation) +
            ", so this broker is the old one. Stop it and use the broker of generation " +
            std::to_string(seen) + "."};
  }
  if (theirs.generation == ours.generation && theirs.id != ours.id) {
    return Refused{
        RefusalCode::kDatabase,
        "Two histories of one database with the same generation: " + shown(hello.hostname) +
            " follows " + to_string(theirs) + ", " + broker_name(broker) + " has " +
            to_string(ours) +
            ". This needs a person: decide which history goes on, stop both brokers, "
            "make the right one's database the next generation (csa-broker restore --db "
            "FILE --from FILE, twice its own), and start it again. The other's nodes "
            "then hand over what they have not sent, and offer what this one never had."};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refused> refusal(const HubConfig& broker, const MasterState& master,
                               const Hello& hello) {
  if (auto no = protocol_refusal(broker, hello)) return no;
  if (auto no = application_refusal(broker, hello)) return no;
  if (auto no = version_refusal(broker, hello)) return no;
  if (auto no = database_refusal(broker, master, hello)) return no;
  return generation_refusal(broker, master, hello);
}

Refused identity_refusal(const Hello& hello, const Peer& holder) {
  return {RefusalCode::kIdentity,
          "NodeId " + to_string(hello.node) + " of " + shown(hello.hostname) + " is in use by " +
              holder.shown() +
              ", which is connected. If this replica is a copy of that one, give " +
              "it an identity of its own: csa-node identity --new"};
}

Refused full_refusal(const HubConfig& broker, const Hello& hello) {
  return {RefusalCode::kFull, "No room: " + broker_name(broker) + " serves " +
                                  std::to_string(limits::kPeersMax) + " peers already, so " +
                                  shown(hello.hostname) +
                                  " cannot join. Stop programs that are no longer needed, or try "
                                  "again later."};
}

}  // namespace csa
