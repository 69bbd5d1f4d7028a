#include "tests/sim/fleet.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "common/check.h"
#include "common/planted.h"

namespace csa::sim {
namespace {

using Json = nlohmann::json;

struct Worker {
  ::pid_t pid = -1;
  int line = -1;
  bool busy = false;
  Task task;
  std::string heard;
};

void write_line(int line, const Json& json) {
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < text.size();) {
    const ::ssize_t n = ::send(line, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;  // whoever reads notices the end
    sent += static_cast<std::size_t>(n);
  }
}

// False: the other end is closed.
bool read_some(int line, std::string& heard) {
  char buffer[65536];
  const ::ssize_t n = ::read(line, buffer, sizeof buffer);
  if (n <= 0) return false;
  heard.append(buffer, static_cast<std::size_t>(n));
  return true;
}

Json to_json(const RunReport& report) {
  return {{"ok", report.ok},
          {"violation", report.violation},
          {"transcript", report.ok ? std::vector<std::string>{} : report.transcript},
          {"counts", report.counts},
          {"acknowledged", report.acknowledged}};
}

RunReport from_json(const Json& json) {
  RunReport report;
  report.ok = json.at("ok").get<bool>();
  report.violation = json.at("violation").get<std::string>();
  report.transcript = json.at("transcript").get<std::vector<std::string>>();
  report.counts = json.at("counts").get<std::map<std::string, std::uint64_t>>();
  report.acknowledged = json.at("acknowledged").get<std::size_t>();
  return report;
}

[[noreturn]] void work(int line, const RunOptions& options) {
  std::string heard;
  for (;;) {
    const std::size_t end = heard.find('\n');
    if (end == std::string::npos) {
      if (!read_some(line, heard)) std::_Exit(0);
      continue;
    }
    const Json task = Json::parse(heard.substr(0, end));
    heard.erase(0, end + 1);
#ifdef CSA_PLANTED
    CSA_CHECK(plant(task.at("bug").get<std::string>()));
#endif
    write_line(line, to_json(run_seed(task.at("seed").get<std::uint64_t>(), options)));
  }
}

Worker begin(const RunOptions& options, const std::vector<Worker>& others) {
  int lines[2];
  CSA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, lines) == 0);
  Worker worker;
  worker.pid = ::fork();
  CSA_CHECK(worker.pid >= 0);
  if (worker.pid == 0) {
    ::close(lines[0]);
    for (const Worker& other : others) ::close(other.line);
    work(lines[1], options);
  }
  ::close(lines[1]);
  worker.line = lines[0];
  return worker;
}

void end(Worker& worker, int* status) {
  ::close(worker.line);
  ::waitpid(worker.pid, status, 0);
  worker.line = -1;
}

RunReport crashed(int status) {
  RunReport report;
  report.violation = WIFSIGNALED(status)
                         ? "the process ended by signal " + std::to_string(WTERMSIG(status))
                         : "the process ended with status " + std::to_string(WEXITSTATUS(status));
  return report;
}

}  // namespace

void run_tasks(std::size_t jobs, const RunOptions& options, const std::function<bool(Task&)>& next,
               const std::function<void(const Task&, RunReport)>& done) {
  std::vector<Worker> workers;
  const auto give = [&next](Worker& worker) {
    worker.busy = next(worker.task);
    if (!worker.busy) return;
    write_line(worker.line, {{"seed", worker.task.seed}, {"bug", worker.task.bug}});
  };
  for (std::size_t i = 0; i < jobs; ++i) {
    workers.push_back(begin(options, workers));
    give(workers.back());
  }
  for (;;) {
    std::vector<::pollfd> lines;
    for (const Worker& worker : workers) {
      lines.push_back({worker.busy ? worker.line : -1, POLLIN, 0});
    }
    if (std::none_of(workers.begin(), workers.end(), [](const Worker& w) { return w.busy; })) break;
    if (::poll(lines.data(), lines.size(), -1) <= 0) continue;
    for (std::size_t i = 0; i < workers.size(); ++i) {
      Worker& worker = workers[i];
      if (lines[i].revents == 0) continue;
      if (!read_some(worker.line, worker.heard)) {
        int status = 0;
        end(worker, &status);
        const Task task = worker.task;
        worker = begin(options, workers);
        done(task, crashed(status));
        give(worker);
      } else if (worker.heard.ends_with('\n')) {
        const RunReport report = from_json(Json::parse(std::exchange(worker.heard, {})));
        done(worker.task, report);
        give(worker);
      }
    }
  }
  int status = 0;
  for (Worker& worker : workers) end(worker, &status);
}

}  // namespace csa::sim
